//! A hash of the kernel's, which many threads read and write at once: bpf(2) needs no lock of ours.

use std::{fmt, io, sync::Arc};

use aya::{
    Pod,
    maps::{HashMap, IterableMap as _, Map, MapData, MapError},
};

use super::sys::{self, Cursor};

const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;

pub struct Table<K: Pod, V: Pod>(Arc<HashMap<MapData, K, V>>);

impl<K: Pod, V: Pod> Table<K, V> {
    /// A table of its own, of so many entries.
    pub fn create(entries: u32) -> Result<Self, MapError> {
        HashMap::create(entries, 0).map(|map| Self(Arc::new(map)))
    }

    pub fn capacity(&self) -> Result<u64, MapError> {
        Ok(self.0.map().info()?.max_entries().into())
    }

    /// What cannot be read is not there.
    pub fn get(&self, key: &K) -> Option<V> {
        self.0.get(key, 0).ok()
    }

    /// An error of kind `AlreadyExists` where there is one.
    pub fn add(&self, key: &K, value: &V) -> io::Result<()> {
        sys::update(&self.0, key, value, BPF_NOEXIST)
    }

    pub fn put(&self, key: &K, value: &V) -> io::Result<()> {
        sys::update(&self.0, key, value, BPF_ANY)
    }

    /// Was there one?
    pub fn remove(&self, key: &K) -> bool {
        sys::delete(&self.0, key).is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V), MapError>> {
        self.0.iter()
    }

    /// See [`sys::lookup_batch`].
    pub fn read(
        &self,
        from: Option<Cursor>,
        most: usize,
        keys: &mut Vec<K>,
        values: &mut Vec<V>,
    ) -> io::Result<Option<Cursor>> {
        sys::lookup_batch(&self.0, from, most, keys, values)
    }
}

impl<K: Pod, V: Pod> TryFrom<Map> for Table<K, V> {
    type Error = MapError;

    fn try_from(map: Map) -> Result<Self, MapError> {
        HashMap::try_from(map).map(|map| Self(Arc::new(map)))
    }
}

impl<K: Pod, V: Pod> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Pod, V: Pod> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}
