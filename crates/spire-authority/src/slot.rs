//! Two slots for each kind of authority (CA-015 to CA-030).

use std::sync::Arc;
use std::time::Duration;

use spire_types::{AuthorityId, SlotStatus};
use time::OffsetDateTime;

use crate::sign::{ActiveJwt, ActiveX509};

/// Prepare the next one when this share of the lifetime is left, at most 30 days (CA-028).
const PREPARATION: (u32, Duration) = (2, Duration::from_secs(30 * 24 * 3600));
/// Activate the next one when this share is left, at most 7 days (CA-029).
const ACTIVATION: (u32, Duration) = (6, Duration::from_secs(7 * 24 * 3600));

/// The letter travels with the slot and names its key (CA-016).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letter {
    A,
    B,
}

impl Letter {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What differs between the kinds of authority.
pub(crate) trait Kind: Sized {
    /// What signs.
    type Material: Clone;
    /// Names in key ids: `<prefix>-A`.
    const KEY_PREFIX: &'static str;
    fn not_after(material: &Self::Material) -> OffsetDateTime;
    fn authority_id(material: &Self::Material) -> &str;
}

/// X.509 certificate authorities.
#[derive(Debug)]
pub(crate) struct X509;

impl Kind for X509 {
    type Material = Arc<ActiveX509>;
    const KEY_PREFIX: &'static str = "x509-CA";

    fn not_after(material: &Self::Material) -> OffsetDateTime {
        material.certificate.not_after()
    }

    fn authority_id(material: &Self::Material) -> &str {
        &material.authority_id
    }
}

/// JWT signing keys.
#[derive(Debug)]
pub(crate) struct Jwt;

impl Kind for Jwt {
    type Material = Arc<ActiveJwt>;
    const KEY_PREFIX: &'static str = "JWT-Signer";

    fn not_after(material: &Self::Material) -> OffsetDateTime {
        material.not_after
    }

    fn authority_id(material: &Self::Material) -> &str {
        &material.key_id
    }
}

/// One place for an authority.
pub(crate) struct Slot<K: Kind> {
    pub(crate) letter: Letter,
    pub(crate) status: SlotStatus,
    /// When its preparation began; whole seconds after a restart (CA-027).
    pub(crate) issued_at: OffsetDateTime,
    /// Stays when the material goes (CA-020).
    pub(crate) authority_id: AuthorityId,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) material: Option<K::Material>,
}

impl<K: Kind> Slot<K> {
    pub(crate) fn empty(letter: Letter) -> Self {
        Self {
            letter,
            status: SlotStatus::Unknown,
            issued_at: OffsetDateTime::UNIX_EPOCH,
            authority_id: String::new(),
            not_after: OffsetDateTime::UNIX_EPOCH,
            material: None,
        }
    }

    pub(crate) fn key_id(&self) -> String {
        format!("{}-{}", K::KEY_PREFIX, self.letter.as_str())
    }

    /// Without material, or past its time (CA-019).
    pub(crate) fn is_empty(&self) -> bool {
        self.material.is_none() || self.status == SlotStatus::Old
    }

    /// Drops the material; its id stays visible (CA-020).
    pub(crate) fn retire(&mut self) {
        self.material = None;
        self.status = SlotStatus::Old;
    }

    pub(crate) fn fill(&mut self, material: K::Material, issued_at: OffsetDateTime, status: SlotStatus) {
        self.authority_id = K::authority_id(&material).to_owned();
        self.not_after = K::not_after(&material);
        self.issued_at = issued_at;
        self.status = status;
        self.material = Some(material);
    }

    fn threshold(&self, (divisor, most): (u32, Duration)) -> OffsetDateTime {
        let lifetime = Duration::try_from(self.not_after - self.issued_at).unwrap_or_default();
        self.not_after - (lifetime / divisor).min(most)
    }

    pub(crate) fn should_prepare_next(&self, now: OffsetDateTime) -> bool {
        self.material.is_some() && now > self.threshold(PREPARATION)
    }

    pub(crate) fn should_activate_next(&self, now: OffsetDateTime) -> bool {
        self.material.is_some() && now > self.threshold(ACTIVATION)
    }

    pub(crate) fn view(&self) -> SlotView {
        SlotView {
            authority_id: self.authority_id.clone(),
            not_after: self.not_after.unix_timestamp(),
            status: self.status,
            has_material: self.material.is_some(),
        }
    }
}

/// What the LocalAuthority API may know of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotView {
    pub authority_id: AuthorityId,
    /// Seconds since 1970.
    pub not_after: i64,
    pub status: SlotStatus,
    pub has_material: bool,
}

/// Both slots of one kind of authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityState {
    pub current: SlotView,
    pub next: SlotView,
}

/// Current and next of one kind.
pub(crate) struct Pair<K: Kind> {
    pub(crate) current: Slot<K>,
    pub(crate) next: Slot<K>,
}

impl<K: Kind> Pair<K> {
    pub(crate) fn new() -> Self {
        Self { current: Slot::empty(Letter::A), next: Slot::empty(Letter::B) }
    }

    /// Where the next preparation goes (CA-035).
    pub(crate) fn free(&mut self) -> &mut Slot<K> {
        if self.current.is_empty() { &mut self.current } else { &mut self.next }
    }

    /// Positions swap, the former current is retired (CA-040).
    pub(crate) fn rotate(&mut self) {
        std::mem::swap(&mut self.current, &mut self.next);
        self.next.retire();
    }

    pub(crate) fn state(&self) -> AuthorityState {
        AuthorityState { current: self.current.view(), next: self.next.view() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Kind for Fake {
        type Material = OffsetDateTime;
        const KEY_PREFIX: &'static str = "fake";
        fn not_after(material: &OffsetDateTime) -> OffsetDateTime {
            *material
        }
        fn authority_id(_: &OffsetDateTime) -> &str {
            "id"
        }
    }

    fn slot(lifetime: Duration) -> Slot<Fake> {
        let mut slot = Slot::empty(Letter::A);
        slot.fill(OffsetDateTime::UNIX_EPOCH + lifetime, OffsetDateTime::UNIX_EPOCH, SlotStatus::Active);
        slot
    }

    #[test]
    fn successor_is_prepared_at_half_life_and_activated_at_one_sixth() {
        // CA-028 to CA-030
        const HOUR: Duration = Duration::from_secs(3600);
        const SECOND: Duration = Duration::from_secs(1);
        let day = slot(24 * HOUR);
        let year = slot(365 * 24 * HOUR);
        for (slot, prepare, activate) in
            [(&day, 12 * HOUR, 20 * HOUR), (&year, 335 * 24 * HOUR, 358 * 24 * HOUR)]
        {
            let at = |age: Duration| OffsetDateTime::UNIX_EPOCH + age;
            assert!(!slot.should_prepare_next(at(prepare)) && slot.should_prepare_next(at(prepare + SECOND)));
            assert!(
                !slot.should_activate_next(at(activate)) && slot.should_activate_next(at(activate + SECOND))
            );
        }
    }

    #[test]
    fn a_retired_slot_keeps_its_name_and_counts_as_empty() {
        // CA-019, CA-020
        let mut slot = slot(Duration::from_secs(60));
        slot.retire();
        assert!(slot.is_empty());
        assert_eq!((slot.authority_id.as_str(), slot.status), ("id", SlotStatus::Old));
    }
}
