use std::{
    collections::BTreeSet,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use jiff::Timestamp;
use nix::{sys::stat::Mode, unistd::mkfifo};
use tempfile::TempDir;

use super::*;

fn host() -> HostName {
    "api.example".parse().unwrap()
}

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &host()).unwrap();
    (folder, store)
}

fn saved(last: u8) -> Saved {
    Saved {
        addresses: BTreeSet::from([[10, 0, 0, last].into()]),
        written_at: Timestamp::from_second(i64::from(last)).unwrap(),
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_newest_answer_is_what_is_read_and_nothing_else_is_left() {
    let (folder, store) = store();
    assert_eq!(store.load(), Ok(None));
    for last in [1, 2] {
        store.save(&saved(last)).unwrap();
        assert_eq!(store.load(), Ok(Some(saved(last))));
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["api.example.json"]);
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, FILE_MODE);
}

#[test]
fn a_crash_after_any_step_leaves_the_old_answer_or_the_new_one_and_the_next_write_succeeds() {
    for steps in 0..=STEPS.len() {
        let (_folder, store) = store();
        store.save(&saved(1)).unwrap();
        let bytes = saved(2).encode(&host()).unwrap();
        STEPS.iter().take(steps).for_each(|step| step(&store, &bytes).unwrap());
        let expected = if steps < 3 { saved(1) } else { saved(2) };
        assert_eq!(store.load(), Ok(Some(expected)), "after {steps} steps");
        store.save(&saved(3)).unwrap();
        assert_eq!(store.load(), Ok(Some(saved(3))), "after {steps} steps and a whole write");
    }
}

#[test]
fn a_crash_in_the_middle_of_the_bytes_leaves_the_old_answer() {
    let bytes = saved(2).encode(&host()).unwrap();
    for length in 0..bytes.len() {
        let (_folder, store) = store();
        store.save(&saved(1)).unwrap();
        store.begin(&bytes).unwrap();
        store.fill(&bytes[..length]).unwrap();
        assert_eq!(store.load(), Ok(Some(saved(1))));
    }
}

#[test]
fn what_somebody_else_may_have_put_there_is_not_read() {
    let (folder, store) = store();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, saved(1).encode(&host()).unwrap()).unwrap();
    symlink(&elsewhere, store.path()).unwrap();
    assert_eq!(store.load(), Err(Unusable::SymbolicLink));

    fs::remove_file(store.path()).unwrap();
    store.save(&saved(1)).unwrap();
    allow(&store.path(), 0o602);
    assert_eq!(store.load(), Err(Unusable::WritableByAll));
    allow(&store.path(), 0o600);
    assert_eq!(store.load(), Ok(Some(saved(1))));

    fs::write(store.path(), vec![b' '; 64 * 1024 + 1]).unwrap();
    assert_eq!(store.load(), Err(Unusable::TooLarge));

    fs::remove_file(store.path()).unwrap();
    fs::create_dir(store.path()).unwrap();
    assert_eq!(store.load(), Err(Unusable::NoFile));
    fs::remove_dir(store.path()).unwrap();
    mkfifo(&store.path(), Mode::S_IRUSR).unwrap();
    assert_eq!(store.load(), Err(Unusable::NoFile));
}

#[test]
fn a_folder_that_cannot_be_trusted_or_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |path: &Path| Store::open(path, &host()).unwrap_err().to_string();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).starts_with("cannot be made: "), "{}", refusal(&file));
    assert!(refusal(&file.join("below")).starts_with("cannot be made: "));
    assert!(examine(&file).unwrap_err().to_string().contains("is no folder"));

    let open_to_all = folder.path().join("open");
    fs::create_dir(&open_to_all).unwrap();
    allow(&open_to_all, 0o777);
    assert!(refusal(&open_to_all).contains("chmod o-w"), "{}", refusal(&open_to_all));
    assert!(examine(&open_to_all).is_err());

    let new = folder.path().join("a/b");
    examine(&new).unwrap();
    assert!(!new.exists(), "looking changes nothing");
    Store::open(&new, &host()).unwrap();
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, FOLDER_MODE);
}
