//! Downloads under way: none goes on with other bytes than it began with.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::domain::{ids::ImageUuid, image::ImageRecord};

/// Those who read an image, as long as one does.
#[derive(Debug, Default)]
pub(super) struct Reading {
    is_removed: AtomicBool,
}

impl Reading {
    /// Whether bytes that were read before this call may be another image's: a removed uuid is free for a new image.
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }
}

/// A Ready image that somebody reads.
#[derive(Debug, Clone)]
pub struct ReadyImage {
    /// Its record.
    pub record: ImageRecord,
    /// Its length in the store.
    pub length: u64,
    pub(super) reading: Arc<Reading>,
}

/// Who reads which image.
#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<HashMap<ImageUuid, Weak<Reading>>>);

impl Readings {
    /// Somebody is about to look at an image and read it.
    pub(super) fn begin(&self, image: ImageUuid) -> Arc<Reading> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = all.get(&image).and_then(Weak::upgrade) {
            return reading;
        }
        all.retain(|_, reading| reading.strong_count() > 0);
        let reading = Arc::new(Reading::default());
        all.insert(image, Arc::downgrade(&reading));
        reading
    }

    /// The bytes of an image are about to be removed: nothing that is read from now on belongs to a download that began before.
    pub(super) fn end(&self, image: ImageUuid) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = all.remove(&image).and_then(|reading| reading.upgrade()) {
            reading.is_removed.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_a_removed_image_are_told_and_later_ones_are_not() {
        let readings = Readings::default();
        let image = ImageUuid::random();
        let (one, two) = (readings.begin(image), readings.begin(image));
        let other = readings.begin(ImageUuid::random());
        assert!(!one.is_removed());
        readings.end(image);
        assert!(one.is_removed() && two.is_removed() && !other.is_removed());
        let later = readings.begin(image);
        assert!(!later.is_removed());
        drop((one, two, later, other));
        drop(readings.begin(ImageUuid::random()));
        assert_eq!(readings.0.lock().unwrap().len(), 1, "those who left take no room");
    }
}
