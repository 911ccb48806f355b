//! The signing core: slots, journal, rotation, templates, signing.
