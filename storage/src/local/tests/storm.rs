//! Many clients at once that cut, repeat, lie and vanish: the image is right all the same.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::*;

#[derive(Debug, Clone, Copy)]
enum Manner {
    Plain,
    Checked,
    WrongChecksum,
    Cut,
    Vanish,
    OpenEnd,
}

#[derive(Debug, Clone)]
struct Request {
    start: usize,
    length: usize,
    manner: Manner,
    pause_micros: u64,
}

const IMAGE_BYTES: usize = 300_007;

fn requests() -> impl Strategy<Value = Vec<Vec<Request>>> {
    let manner = prop_oneof![
        3 => Just(Manner::Plain),
        3 => Just(Manner::Checked),
        1 => Just(Manner::WrongChecksum),
        2 => Just(Manner::Cut),
        1 => Just(Manner::Vanish),
        1 => Just(Manner::OpenEnd),
    ];
    let request = (0..IMAGE_BYTES, 1usize..80_000, manner, 0u64..2_000).prop_map(
        |(start, length, manner, pause_micros)| {
            let length = length.min(IMAGE_BYTES - start);
            Request { start, length, manner, pause_micros }
        },
    );
    prop::collection::vec(prop::collection::vec(request, 1..6), 2..7)
}

/// Sends one request; answers the bytes of it that were acknowledged.
async fn play(bench: &Bench, owned: Owned, image: &[u8], request: &Request) -> Result<()> {
    let bytes = &image[request.start..request.start + request.length];
    let plain = chunk(request.start, Some(request.length));
    let chunk = match request.manner {
        Manner::Plain | Manner::Cut | Manner::Vanish => plain,
        Manner::Checked => checked(request.start, bytes),
        Manner::WrongChecksum => Chunk { checksum: Some(ChunkChecksum::Xxh3(1)), ..plain },
        Manner::OpenEnd => Chunk { length: None, ..plain },
    };
    let mut writer = match bench.store.write(owned, chunk).await? {
        Claimed::Writer(writer) => writer,
        Claimed::AlreadyStored(state) => {
            let stored = (request.start as u64)..(request.start + request.length) as u64;
            assert!(
                state
                    .extents
                    .iter()
                    .any(|extent| extent.start <= stored.start && extent.end >= stored.end)
            );
            return Ok(());
        }
    };
    for piece in bytes.chunks(7_001) {
        writer.append(piece).await?;
        tokio::time::sleep(Duration::from_micros(request.pause_micros / 8)).await;
    }
    match request.manner {
        Manner::Plain | Manner::Checked | Manner::OpenEnd => {
            let acknowledged = writer.acknowledge().await?;
            assert_eq!(acknowledged.counted_bytes, bytes.len() as u64);
        }
        Manner::WrongChecksum => {
            let refused = writer.acknowledge().await.unwrap_err();
            assert!(!matches!(refused, StoreError::Io { .. }), "{refused:?}");
        }
        Manner::Cut => {
            writer.interrupt().await?;
        }
        Manner::Vanish => drop(writer),
    }
    Ok(())
}

async fn storm(clients: Vec<Vec<Request>>) {
    let bench = Arc::new(Bench::new());
    let image: Arc<Vec<u8>> = Arc::new(image(IMAGE_BYTES));
    let owned = bench.create(Some(IMAGE_BYTES as u64)).await;
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|requests| {
            let (bench, image) = (Arc::clone(&bench), Arc::clone(&image));
            tokio::spawn(async move {
                for request in &requests {
                    if let Err(error) = play(&bench, owned, &image, request).await {
                        let expected =
                            matches!(error, StoreError::Superseded | StoreError::Busy { .. });
                        assert!(expected, "{request:?}: {error:?}");
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let killed = bench.after_kill();
    for task in tasks {
        task.await.unwrap();
    }
    for bench in [&*bench, &killed] {
        let state = bench.store.state(owned.key).await.unwrap();
        for gap in crate::extents::Extents::from_sorted(state.extents)
            .unwrap()
            .missing(0..IMAGE_BYTES as u64)
        {
            let range = usize::try_from(gap.start).unwrap()..usize::try_from(gap.end).unwrap();
            bench.send_part(owned, &image, range).await;
        }
        assert_eq!(bench.finish(owned).await.unwrap().digests, digests(&image));
        assert_eq!(bench.prefix(owned.key).await, *image);
        assert_eq!(bench.store.state(owned.key).await.unwrap().writers, 0);
        assert_eq!(bench.store.statistics().buffer_bytes, 0);
    }
}

#[test]
fn the_image_is_right_whatever_clients_do() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let played = runner.run(&requests(), |clients| {
        runtime.block_on(storm(clients));
        Ok(())
    });
    played.unwrap();
}
