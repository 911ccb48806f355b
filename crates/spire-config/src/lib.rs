//! SPIRE's HCL dialect with positions, durations, shared sections, all problems collected at once.
