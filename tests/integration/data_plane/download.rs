//! Downloads.

use super::{Plane, content, sent, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn whole_and_in_parts() {
    let plane = Plane::start(&[]).await;
    let image = content(3 << 20);
    let url = plane.url("/uploads/down?name=caf%C3%A9");
    let put = plane.with_session(plane.http.put(url).body(image.clone()));
    let (_, state) = sent(put).await;
    let url = plane.url(&format!("/images/{}/content", state["imageUuid"].as_str().unwrap()));
    let get = |headers: &[(&str, &str)]| {
        let request = headers.iter().fold(plane.http.get(&url), |r, (n, v)| r.header(*n, *v));
        plane.with_session(request).send()
    };
    let tag = format!("\"{}\"", sha256(&image));

    let whole = get(&[]).await.unwrap();
    let headers = whole.headers().clone();
    assert_eq!((whole.status().as_u16(), whole.content_length()), (200, Some(3 << 20)));
    assert_eq!(headers["etag"].to_str().unwrap(), tag);
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["accept-ranges"], "bytes");
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert_eq!(disposition, "attachment; filename=\"caf_.raw\"; filename*=UTF-8''caf%C3%A9.raw");
    assert!(whole.bytes().await.unwrap() == image);

    let head = plane.with_session(plane.http.head(&url)).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], (3 << 20).to_string().as_str());
    assert_eq!(head.bytes().await.unwrap().len(), 0);

    let part = get(&[("range", "bytes=1000-2000999"), ("if-range", &tag)]).await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 1000-2000999/3145728");
    assert!(part.bytes().await.unwrap() == image[1000..2_001_000]);
    let tail = get(&[("range", "bytes=-5")]).await.unwrap();
    assert!(tail.bytes().await.unwrap() == image[image.len() - 5..]);

    let beyond = get(&[("range", "bytes=3145728-")]).await.unwrap();
    assert_eq!(
        (beyond.status().as_u16(), &beyond.headers()["content-range"]),
        (416, &"bytes */3145728".parse().unwrap())
    );
    assert_eq!(get(&[("if-none-match", &tag)]).await.unwrap().status(), 304);
    let old = get(&[("range", "bytes=0-1"), ("if-range", "\"old\"")]).await.unwrap();
    assert_eq!((old.status().as_u16(), old.content_length()), (200, Some(3 << 20)));
    let several = get(&[("range", "bytes=0-1,4-5")]).await.unwrap();
    assert_eq!(several.status(), 200);

    assert_eq!(plane.http.get(&url).send().await.unwrap().status(), 401);
    let unknown = plane.url("/images/0123456789ab4def8123456789abcdef/content");
    assert_eq!(plane.with_session(plane.http.get(unknown)).send().await.unwrap().status(), 404);
}
