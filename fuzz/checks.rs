//! What must hold for any input whatever: run by the fuzz targets, and over the kept inputs by an ordinary test.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use futures::{StreamExt, executor::block_on, stream};
use longshore::{
    domain::{
        add_image::AddImageRequest, image_id::IMAGE_ID_BYTES_MAX, query::Condition, tag::read_tags,
    },
    http::{
        headers::{
            content_range::ContentRange,
            digest::{content_digest, repr_digest},
            params, range,
        },
        multipart::{boundary_of, file_part},
    },
};
use longshore_storage::{
    checkpoint::Checkpoint,
    digest::{DigestChoice, DigestState, Digests, Engine, Kernel, KernelChoice},
    inspect::{HELD_BYTES_MAX, Inspector, Report, Rules, SAVED_BYTES_MAX},
};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// A check; it panics where something does not hold.
pub(crate) type Check = fn(&[u8]);

/// Every check, by the name of its target and of its folder of kept inputs.
pub(crate) const ALL: [(&str, Check); 9] = [
    ("multipart", multipart),
    ("content_range", content_range),
    ("digests", digests),
    ("checkpoint", checkpoint),
    ("system_tags", system_tags),
    ("conditions", conditions),
    ("job_data", job_data),
    ("digest_kernels", digest_kernels),
    ("inspect", inspect),
];

/// Longest that an error about any input may be.
const WORDS_MAX: usize = 1000;

fn header(name: &'static str, value: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?);
    Some(headers)
}

/// The first byte says how the body comes in, the second how large its file is said to be.
pub(crate) fn multipart(input: &[u8]) {
    let _ = boundary_of(input);
    let _ = params::parse(input);
    let [block, size, body @ ..] = input else { return };
    let (block, size) = (usize::from(*block % 32) + 1, u64::from(*size));
    for body_bytes in [None, Some(body.len() as u64)] {
        let blocks: Vec<_> = body.chunks(block).map(Bytes::copy_from_slice).collect();
        let blocks = stream::iter(blocks.into_iter().map(Ok));
        let file = block_on(async {
            let mut part = file_part(blocks, b"B", size, body_bytes).await.ok()??;
            let mut file = Vec::new();
            while let Some(bytes) = part.next().await {
                file.extend_from_slice(&bytes.ok()?);
            }
            Some(file)
        });
        let Some(file) = file else { continue };
        assert!(file.len() as u64 <= size, "more than was announced");
        let is_there = file.is_empty() || body.windows(file.len()).any(|part| part == file);
        assert!(is_there, "bytes that were never sent");
        assert!(
            body_bytes.is_none() || file.len() as u64 == size,
            "a length that is known is kept"
        );
    }
}

/// What is read as a range is that range, and reads the same when it is written down.
pub(crate) fn content_range(input: &[u8]) {
    let Some(headers) = header("content-range", input) else { return };
    match ContentRange::of(&headers) {
        Ok(Some(range)) => {
            let ContentRange { first, last, total } = range;
            assert!(first <= last && total.is_none_or(|total| last < total));
            assert_eq!(range.length(), last - first + 1);
            let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
            let again = format!("bytes {first}-{last}/{total}");
            let again =
                header("content-range", again.as_bytes()).and_then(|h| ContentRange::of(&h).ok());
            assert_eq!(again.flatten(), Some(range));
        }
        Ok(None) => {}
        Err(error) => assert!(error.to_string().len() < WORDS_MAX),
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let range::Wanted::Part(part) = range::wanted(Some(text), 1000)
    {
        assert!(part.start < part.end && part.end <= 1000);
    }
}

/// Errors stay short, whatever they are about.
pub(crate) fn digests(input: &[u8]) {
    for name in ["content-digest", "repr-digest"] {
        let Some(headers) = header(name, input) else { return };
        if let Err(error) = content_digest(&headers) {
            assert!(error.to_string().len() < WORDS_MAX);
        }
        if let Err(error) = repr_digest(&headers) {
            assert!(error.to_string().len() < WORDS_MAX);
        }
    }
}

/// What is read as a checkpoint is written down as the same one. Its sum is put right too, or hardly an input would get past it.
pub(crate) fn checkpoint(input: &[u8]) {
    let mut summed = input.to_vec();
    summed.extend_from_slice(&crc32c::crc32c(input).to_le_bytes());
    for bytes in [input, &summed] {
        let Ok(read) = Checkpoint::decode(bytes) else { continue };
        assert!(read.hashed_offset() <= read.offset());
        let written = read.encode();
        let again = Checkpoint::decode(&written).map(|again| again.encode());
        assert_eq!(again.as_deref().ok(), Some(written.as_slice()));
    }
}

/// One tag a line.
pub(crate) fn system_tags(input: &[u8]) {
    let tags: Vec<_> = String::from_utf8_lossy(input).split('\n').map(str::to_owned).collect();
    match read_tags(&tags) {
        Ok(declared) => {
            if let Some(image_id) = declared.image_id {
                let text = image_id.as_str();
                assert!((1..=IMAGE_ID_BYTES_MAX).contains(&text.len()));
                assert!(!text.chars().any(char::is_control));
            }
        }
        Err(error) => assert!(error.to_string().len() < WORDS_MAX),
    }
}

/// A condition is a part of what was sent, split at its operator.
pub(crate) fn conditions(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(condition) = Condition::parse(text) else { return };
    assert!(text.contains(&condition.field) && text.ends_with(&condition.value));
    assert!(condition.field.len() + condition.value.len() < text.len());
    assert!(condition.list().count() <= text.len() + 1);
}

/// A request that is taken is written down as one that is taken, and is the same.
pub(crate) fn job_data(input: &[u8]) {
    let Ok(request) = serde_json::from_slice::<AddImageRequest>(input) else { return };
    match request.checked() {
        Ok(checked) => {
            let text = serde_json::to_string(&checked).map_err(|_| ()).unwrap_or_default();
            let again: Option<AddImageRequest> = serde_json::from_str(&text).ok();
            let again = again.and_then(|again| again.checked().ok());
            assert_eq!(again, Some(checked));
        }
        Err(error) => assert!(error.to_string().len() < WORDS_MAX),
    }
}

/// The first byte says how the image comes in, the next three how long it is; the rest is what stands in it: three bytes of place and
/// one of length before each piece. All else is zero, so that what lies megabytes apart is reached by small inputs.
pub(crate) fn inspect(input: &[u8]) {
    let [way, a, b, c, pieces @ ..] = input else { return };
    let place = |a: u8, b: u8, c: u8| u32::from_le_bytes([a, b, c, 0]) as usize;
    let mut image = vec![0; place(*a, *b, *c).min(5 << 20)];
    let mut rest = pieces;
    while let [a, b, c, length, after @ ..] = rest {
        let piece = &after[..after.len().min((*length).into())];
        let at = place(*a, *b, *c).min(image.len());
        let room = piece.len().min(image.len() - at);
        image[at..at + room].copy_from_slice(&piece[..room]);
        rest = &after[piece.len()..];
    }
    let encrypted = way & 1 != 0;
    let rules = Rules { encrypted, extended_l2: encrypted, ..Rules::default() };
    let step = [512, 65_536, 300_000, 7 << 20][usize::from(way >> 1 & 3)];
    let whole = inspected(rules, &image, image.len().max(1), false);
    let pieces = inspected(rules, &image, step, way & 8 != 0);
    assert_eq!(whole.refusal().is_some(), pieces.refusal().is_some());
    assert!(whole.refusal().is_some() || whole == pieces, "{whole:?}, in pieces {pieces:?}");
    for finding in &whole.findings {
        assert!(finding.to_string().len() < WORDS_MAX);
    }
}

/// The verdict on an image that comes in pieces, perhaps with a restart after each.
fn inspected(rules: Rules, image: &[u8], step: usize, restarts: bool) -> Report {
    let mut inspector = Inspector::new(rules, None);
    for (number, piece) in image.chunks(step).enumerate() {
        inspector.feed((number * step) as u64, piece);
        assert!(inspector.held_bytes() <= HELD_BYTES_MAX);
        let saved = inspector.save();
        assert!(saved.len() <= SAVED_BYTES_MAX);
        if restarts && let Some(restored) = Inspector::restore(rules, None, &saved) {
            inspector = restored;
        }
    }
    inspector.end(image.len() as u64);
    while let Some(part) = inspector.wanted().into_iter().next() {
        // At most as long as the image, whatever is wanted.
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(image.len());
        inspector.feed(part.start, &image[place(part.start)..place(part.end)]);
    }
    assert!(inspector.report().is_some(), "nothing is wanted, and no verdict");
    inspector.so_far()
}

/// Whatever kernel runs, in whatever company and pieces, the digests are those of the crates. The first byte says which digests, the second how
/// many streams; the others, over and over, how long each is, where it is cut, and what it holds.
pub(crate) fn digest_kernels(input: &[u8]) {
    let [choice, streams, rest @ ..] = input else { return };
    if rest.is_empty() {
        return;
    }
    let choice = DigestChoice { md5: choice % 3 != 2, sha256: choice % 3 != 1 };
    let at = |place: usize| usize::from(rest[place % rest.len()]);
    let bytes: Vec<u8> = rest.iter().copied().cycle().take(3000).collect();
    let streams: Vec<(&[u8], usize)> = (0..=usize::from(streams % 33))
        .map(|stream| {
            let begin = at(5 * stream);
            let length = at(3 * stream + 1) * 8 + at(3 * stream + 2);
            let whole = &bytes[begin..begin + length];
            (whole, length.min(at(7 * stream + 1) * 4))
        })
        .collect();
    let only = Kernel::ALL.into_iter().map(KernelChoice::Only);
    let engines = only.filter_map(|choice| Engine::new(choice).ok());
    for engine in engines.chain([Engine::AUTO]) {
        let mut states = vec![DigestState::new(choice); streams.len()];
        let update = |states: &mut [DigestState], ends: &dyn Fn(usize) -> usize| {
            let begins: Vec<_> = states.iter().map(DigestState::offset).collect();
            let mut parts: Vec<_> = states
                .iter_mut()
                .enumerate()
                .map(|(n, state)| {
                    let begin = usize::try_from(begins[n]).unwrap_or(usize::MAX);
                    (state, &streams[n].0[begin..ends(n)])
                })
                .collect();
            engine.update(&mut parts);
        };
        update(&mut states, &|n| streams[n].1);
        // Half of them are taken down and continued, from the last whole block on.
        for state in states.iter_mut().step_by(2) {
            if let Some(again) = DigestState::restore(choice, &state.save()) {
                *state = again;
            }
        }
        update(&mut states, &|n| streams[n].0.len());
        for (state, (whole, _)) in states.into_iter().zip(&streams) {
            let expected = Digests {
                md5: choice.md5.then(|| Md5::digest(whole).into()),
                sha256: choice.sha256.then(|| Sha256::digest(whole).into()),
            };
            assert_eq!(state.finish(), expected, "{engine:?}");
        }
    }
}
