//! Pages of other origins: what they may send and read.

use reqwest::Method;

use super::{created, creation, header, tus};
use crate::data_plane::Plane;

const PAGE: &str = "https://page.example";

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_url_is_for_every_page_and_creation_for_those_that_are_listed() {
    let plane = Plane::start(&[("LONGSHORE_HTTP__CORS_ORIGINS", PAGE)]).await;
    let url = created(&plane, 5).await;
    for (url, origin, told) in [
        (url.clone(), PAGE, Some("*")),
        (url.clone(), "https://other.example", Some("*")),
        (plane.url("/uploads"), PAGE, Some(PAGE)),
        (plane.url("/uploads"), "https://other.example", None),
    ] {
        let preflight = plane.http.request(Method::OPTIONS, &url).header("origin", origin);
        let preflight = preflight
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "tus-resumable,upload-offset")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204);
        assert_eq!(header(&preflight, "access-control-allow-origin"), told, "{url} {origin}");
        assert_eq!(header(&preflight, "access-control-allow-credentials"), None);
        let Some(_) = told else { continue };
        let methods = header(&preflight, "access-control-allow-methods").unwrap();
        assert!(methods.contains("PATCH") && methods.contains("HEAD"), "{methods}");
        let headers = header(&preflight, "access-control-allow-headers").unwrap();
        for name in [
            "Tus-Resumable",
            "Upload-Offset",
            "Upload-Length",
            "Upload-Metadata",
            "Upload-Defer-Length",
            "Upload-Checksum",
            "Upload-Concat",
            "Upload-Complete",
            "Upload-Draft-Interop-Version",
            "X-HTTP-Method-Override",
            "Authorization",
            "Content-Type",
        ] {
            assert!(headers.contains(name), "{name} in {headers}");
        }
    }
    let head = tus(&plane, "HEAD", &url).header("origin", PAGE).send().await.unwrap();
    assert_eq!(header(&head, "access-control-allow-origin"), Some("*"));
    let exposed = header(&head, "access-control-expose-headers").unwrap();
    for name in ["Upload-Offset", "Upload-Length", "Tus-Resumable", "Upload-Expires", "Location"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let made = creation(&plane).header("upload-length", 5).header("origin", PAGE);
    let made = made.send().await.unwrap();
    assert_eq!(header(&made, "access-control-allow-origin"), Some(PAGE));
    assert!(header(&made, "access-control-expose-headers").unwrap().contains("Location"));
}
