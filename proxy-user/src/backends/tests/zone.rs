//! New connections keep to the own zone.

use super::*;

fn story() -> Story {
    let near = ["10.0.0.0/30", "fd00::/64"].map(|net| net.parse().unwrap());
    let zone = near.into_iter().collect();
    Story::with(Rules { zone, prefer_zone: true, ..rules() })
}

fn choices(story: &Story) -> Vec<SocketAddr> {
    story.backends.snapshot().choices().map(|choice| choice.address).collect()
}

#[test]
fn they_spill_over_while_none_of_the_own_zone_lives() {
    let mut story = story();
    story.answer(&[1, 2, 100]);
    story.passes(100);
    assert_eq!(choices(&story), [address(100)]);
    assert!(story.backends.snapshot().spills_over());
    story.passes(1);
    story.passes(2);
    assert_eq!(choices(&story), [address(1), address(2)]);
    assert!(!story.backends.snapshot().spills_over());
    assert_eq!(story.states(), [(1, Live), (2, Live), (100, Live)], "the other one lives as well");
    story.falls(1, 100);
    story.falls(2, 100);
    assert_eq!(choices(&story), [address(100)]);
}

#[test]
fn without_the_preference_all_are_chosen_from() {
    let mut story = story();
    story.backends.rules.prefer_zone = false;
    story.answer(&[1, 100]);
    story.passes(1);
    story.passes(100);
    assert_eq!(choices(&story), [address(1), address(100)]);
    assert!(!story.backends.snapshot().spills_over());
}

#[test]
fn each_family_has_its_own_preference() {
    let mut story = story();
    let [near, far] = ["[fd00::1]:443", "[fd01::1]:443"].map(|v6| v6.parse().unwrap());
    story.backends.answered(&BTreeSet::from([address(1), address(100), far]), story.now);
    let passed = Probed { begun: story.now, at: story.now, segment: 0 };
    for backend in [address(1), address(100), far] {
        story.backends.probed(backend, Outcome::Passed, passed);
    }
    assert_eq!(choices(&story), [address(1), far]);
    assert!(story.backends.snapshot().spills_over(), "those over IPv6 do");
    story.backends.answered(&BTreeSet::from([address(1), near, far]), story.now);
    story.backends.probed(near, Outcome::Passed, passed);
    assert_eq!(choices(&story), [address(1), near]);
}
