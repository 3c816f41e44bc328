//! What all queries have in common, asked of every kind of record.

use reqwest::Client;
use serde_json::{Value, json};

use super::golden::log_in;
use crate::support::app::{RunningApp, http_client};

struct Asking {
    service: RunningApp,
    client: Client,
    session: String,
}

impl Asking {
    /// A service with three jobs, each with its image and tags.
    async fn new() -> Self {
        let (service, client) = (RunningApp::start(&[]), http_client());
        let session = log_in(&client, &service.base()).await;
        let asking = Self { service, client, session };
        for name in ["a", "b", "c"] {
            let data = json!({"name": name, "url": "upload://x", "format": "raw"}).to_string();
            let body = json!({"params": {"jobName": "APIAddImageMsg", "name": name, "jobData": data,
                "systemTags": [format!("name::{name}")], "userTags": [name]}});
            let url = format!("{}/zstack/v1/longjobs", asking.service.base());
            let sent = asking.client.post(url).header("Authorization", asking.own());
            let sent = sent.body(body.to_string());
            assert_eq!(sent.send().await.unwrap().status(), 202);
        }
        for _ in 0..1000 {
            if asking.get("/longjobs?count=true").await.1["total"] == 3 {
                return asking;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the jobs were not submitted");
    }

    fn own(&self) -> String {
        format!("OAuth {}", self.session)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}/zstack/v1{path}", self.service.base());
        let answer = self.client.get(url).header("Authorization", self.own()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// The uuids that a query answers, in order.
    async fn uuids(&self, path: &str) -> Vec<String> {
        let (status, answer) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let rows = answer["inventories"].as_array().unwrap_or_else(|| panic!("{path}: {answer}"));
        rows.iter().map(|row| row["uuid"].as_str().unwrap().to_owned()).collect()
    }

    async fn stop(self) {
        drop(self.client);
        self.service.stop().await;
    }
}

const KINDS: [(&str, usize, &str); 5] = [
    ("/longjobs", 3, "org.zstack.header.longjob.LongJobInventory"),
    ("/images", 3, "org.zstack.header.image.ImageInventory"),
    ("/backup-storage", 1, "org.zstack.header.storage.backup.BackupStorageInventory"),
    ("/system-tags", 6, "org.zstack.header.tag.SystemTagInventory"),
    ("/user-tags", 6, "org.zstack.header.tag.UserTagInventory"),
];

#[tokio::test]
async fn numbers_pages_and_fields_are_the_same_everywhere() {
    let asking = Asking::new().await;
    for (path, rows, class) in KINDS {
        let (_, counted) = asking.get(&format!("{path}?count=true&limit=1")).await;
        assert_eq!(counted, json!({"total": rows, "schema": {}}), "{path}");
        let (_, none) = asking.get(&format!("{path}?limit=0&replyWithCount=true")).await;
        assert_eq!(none, json!({"inventories": [], "total": rows, "schema": {}}), "{path}");
        let (_, all) = asking.get(path).await;
        assert_eq!(all.get("total"), None, "{path}");
        assert_eq!(all["inventories"].as_array().unwrap().len(), rows, "{path}");
        for at in 0..rows {
            assert_eq!(all["schema"][format!("inventories[{at}]")], class, "{path}");
        }

        let (_, cut) = asking.get(&format!("{path}?fields=uuid,createDate&limit=1&start=0")).await;
        let row = cut["inventories"][0].as_object().unwrap();
        assert_eq!(row.keys().collect::<Vec<_>>(), ["createDate", "uuid"], "{path}");
        let schema = json!({"inventories[0]": class});
        assert_eq!(cut["schema"], schema, "{path}: nothing that was cut away");

        let mut up = asking.uuids(path).await;
        up.sort();
        for sort in ["uuid", "+uuid", "%2Buuid", "+%2Buuid"] {
            assert_eq!(asking.uuids(&format!("{path}?sort={sort}")).await, up, "{path} {sort}");
        }
        let mut paged = Vec::new();
        for start in 0..rows {
            paged.extend(asking.uuids(&format!("{path}?sort=-uuid&limit=1&start={start}")).await);
        }
        up.reverse();
        assert_eq!(paged, up, "{path}");
    }
    asking.stop().await;
}

#[tokio::test]
async fn a_uuid_in_the_path_is_a_condition_more() {
    let asking = Asking::new().await;
    for (path, ..) in KINDS {
        let all = asking.uuids(path).await;
        let uuid = &all[0];
        assert_eq!(asking.uuids(&format!("{path}/{uuid}")).await, [uuid.as_str()], "{path}");
        let counted = format!("{path}/{uuid}?replyWithCount=true&q=uuid%3D{uuid}");
        assert_eq!(asking.get(&counted).await.1["total"], 1, "{path}");
        let none = json!({"inventories": [], "schema": {}});
        for absent in [
            format!("{path}/{uuid}?q=uuid!%3D{uuid}"),
            format!("{path}/0123456789ab4def8123456789abcdef"),
            format!("{path}/short"),
            format!("{path}/%00"),
            format!("{path}/x'%20OR%20'1'='1"),
        ] {
            assert_eq!(asking.get(&absent).await, (200, none.clone()), "{absent}");
        }
        let (_, counted) = asking.get(&format!("{path}/short?count=true")).await;
        assert_eq!(counted, json!({"total": 0, "schema": {}}), "{path}");
        let list = all.join("%20,%20");
        assert_eq!(asking.uuids(&format!("{path}?q=uuid?%3D{list}")).await.len(), all.len());
        assert!(asking.uuids(&format!("{path}?q=uuid!?%3D{list}")).await.is_empty(), "{path}");
        assert!(asking.uuids(&format!("{path}?q=uuid%3D%20{uuid}")).await.is_empty(), "untrimmed");
    }
    asking.stop().await;
}

#[tokio::test]
async fn what_is_not_offered_is_refused_in_the_same_words() {
    let asking = Asking::new().await;
    for (path, _, class) in KINDS {
        let unknown =
            format!("condition name[nope] is invalid, no such field on inventory class[{class}]");
        let field = format!("field[nope] is invalid, no such field on inventory class[{class}]");
        let left_out = |name: &str| {
            format!("the query parameter[{name}] is not supported by this service; leave it out")
        };
        for (query, words) in [
            ("q=nope%3D1", unknown.clone()),
            ("sort=nope", unknown.clone()),
            ("q=nope%3D1&count=true", unknown.clone()),
            ("fields=nope", field),
            ("groupBy=uuid", left_out("groupBy")),
            ("filterName=x", left_out("filterName")),
        ] {
            let (status, answer) = asking.get(&format!("{path}?{query}")).await;
            assert_eq!(status, 503, "{path} {query}");
            let code = &answer["error"]["code"];
            assert_eq!((code, &answer["error"]["details"]), (&json!("SYS.1007"), &json!(words)));
        }
    }
    for (path, found) in [
        ("/longjobs?q=__systemTag__%3Dname::b", 1),
        ("/longjobs?q=__systemTag__!%3Dname::b", 2),
        ("/images?q=__userTag__?%3Da,%20c", 2),
        ("/images?q=__systemTag__~%3DNAME::%25&q=__userTag__!~%3Da%25", 2),
        ("/images?q=__systemTag__+is+null", 0),
        ("/backup-storage?q=__systemTag__+is+null", 1),
        ("/backup-storage?q=__userTag__%3Da", 0),
        ("/system-tags?q=tag%3Dname::a&q=resourceType%3DImageVO", 1),
    ] {
        assert_eq!(asking.uuids(path).await.len(), found, "{path}");
    }
    let (status, answer) = asking.get("/system-tags?q=__systemTag__%3Dx").await;
    assert_eq!(status, 503, "{answer}");
    asking.stop().await;
}
