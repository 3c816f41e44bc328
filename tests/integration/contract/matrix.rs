//! Every route with every kind of caller.

use std::collections::BTreeSet;

use longshore::http::{self, Access, Route};

use super::{
    answer::forget_new,
    rows::{BYTES, Row, rows},
    world::{Ask, Objects, SENT_BYTES, Stage, Who, World},
};

/// Fills the names of objects into a template.
fn filled(template: &str, objects: &Objects) -> String {
    objects
        .names()
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn ask(row: &Row, objects: &Objects) -> Ask {
    let method = row.route.split(' ').next().unwrap();
    let mut ask = Ask::new(method, &filled(row.path, objects));
    for (name, value) in &row.headers {
        ask = ask.with(name, &filled(value, objects));
    }
    if row.body == BYTES {
        ask.body(vec![7; SENT_BYTES])
    } else {
        ask.body(filled(row.body, objects))
    }
}

fn expected(row: &Row, who: Who) -> &'static str {
    match who {
        Who::Nobody => row.refusals[0],
        Who::Scheme => row.refusals[1],
        Who::Wrong => row.refusals[2],
        Who::Expired => row.refusals[3],
        Who::WrongKey => row.refusals[4],
        Who::Late => row.refusals[5],
        Who::Other => row.other,
        // A signature is as good as a session of the same account.
        Who::Own | Who::Key => row.own,
        Who::Admin => row.admin,
    }
}

/// Routes without a row, rows without a route, rows that say something else about who may call than the route does.
fn gaps(routes: &[Route], rows: &[Row]) -> Vec<String> {
    let named: Vec<String> =
        routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let mut gaps = Vec::new();
    for (at, name) in named.iter().enumerate() {
        if named[..at].contains(name) {
            gaps.push(format!("{name} is mounted twice"));
        }
        let ours: Vec<_> = rows.iter().filter(|row| row.route == name).collect();
        if ours.is_empty() {
            gaps.push(format!("{name} has no row of expectations"));
        }
        let needs_session = routes[at].access == Access::Session;
        let refuses = |told: &str| told.starts_with("400") || told.starts_with("401");
        let lets_in = |row: &&Row| !row.refusals[..2].iter().all(|told| refuses(told));
        if ours.iter().any(|row| lets_in(row) == needs_session) {
            gaps.push(format!("{name} is {:?}, and a row says otherwise", routes[at].access));
        }
    }
    let unknown = rows.iter().filter(|row| named.iter().all(|name| name != row.route));
    gaps.extend(unknown.map(|row| format!("{} has a row and is no route", row.route)));
    gaps
}

/// Whether the objects are as they were after the row's request, whoever sends it.
fn is_reading(row: &Row) -> bool {
    row.route.starts_with("GET ") || row.route.starts_with("HEAD ")
}

/// Objects that nobody changes, by how far they have come.
#[derive(Default)]
struct Kept(Vec<(Stage, Objects)>);

impl Kept {
    async fn at(&mut self, world: &World, row: &Row) -> Objects {
        let there = self.0.iter().find(|(stage, _)| *stage == row.stage);
        if let Some((_, objects)) = there.filter(|_| is_reading(row)) {
            return objects.clone();
        }
        let objects = world.objects(row.stage).await;
        if is_reading(row) {
            self.0.push((row.stage, objects.clone()));
        }
        objects
    }
}

/// What was answered differently from what the row says; nothing if all is well.
async fn differences(world: &World, kept: &mut Kept, row: &Row) -> Vec<String> {
    let mut found = Vec::new();
    let shared = kept.at(world, row).await;
    let before = world.seen(&shared).await;
    for who in Who::ALL {
        let told = expected(row, who);
        // A call that is let in may use the object up.
        let is_refused = told.starts_with('4') || told.contains("503") || who == Who::Other;
        let objects = if is_refused { shared.clone() } else { kept.at(world, row).await };
        let objects = &objects;
        let answer = world.ask(who, &ask(row, objects)).await;
        let actual = forget_new(&answer.told(objects, &world.storage));
        if actual != told {
            found.push(format!(
                "{} {} by {who:?}:\n  said {actual}\n  not  {told}",
                row.route, row.path
            ));
        }
    }
    let is_open = row.own == row.other && row.refusals[0] == row.own;
    if (is_reading(row) || !is_open) && world.seen(&shared).await != before {
        found.push(format!("{} {}: somebody else changed the object", row.route, row.path));
    }
    found
}

/// Whether a stranger learns that an object exists.
async fn shows_existence(world: &World, kept: &mut Kept, row: &Row) -> Option<String> {
    let there = kept.at(world, row).await;
    let missing = Objects::missing(there.capability.clone());
    let asks = [ask(row, &there), ask(row, &missing)];
    if asks[0].path == asks[1].path
        && asks[0].headers == asks[1].headers
        && asks[0].body == asks[1].body
    {
        return None;
    }
    let there = world.ask(Who::Other, &asks[0]).await.bare(&there);
    let missing = world.ask(Who::Other, &asks[1]).await.bare(&missing);
    (there != missing).then(|| format!("{} {}:\n{there}\nbut\n{missing}", row.route, row.path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_every_caller_as_written() {
    let rows = rows();
    let gaps = gaps(&http::routes(), &rows);
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
    let world = World::start(&[]).await;
    let (mut kept, mut found) = (Kept::default(), Vec::new());
    for row in &rows {
        found.extend(differences(&world, &mut kept, row).await);
        if row.may_show.is_none() {
            found.extend(shows_existence(&world, &mut kept, row).await);
        }
    }
    world.stop().await;
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Lists without a condition: an account that has nothing sees nothing, the admin sees everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_hold_what_the_caller_may_see() {
    let world = World::start(&[]).await;
    let objects = world.objects(Stage::Running).await;
    for path in [
        "/zstack/v1/longjobs",
        "/zstack/v1/images",
        "/zstack/v1/system-tags?q=resourceType%3DLongJobVO",
        "/zstack/v1/user-tags",
    ] {
        for (who, expected) in [
            (Who::Other, "200 inventories: []"),
            (Who::Own, "200 inventories: [{object}]"),
            (Who::Admin, "200 inventories: [{object}]"),
        ] {
            let told = world.ask(who, &Ask::new("GET", path)).await;
            let told = told.told(&objects, &world.storage);
            let names = ["{job}", "{image}", "{system_tag}", "{user_tag}"];
            let told = names.iter().fold(told, |told, name| told.replace(name, "{object}"));
            assert_eq!(told, expected, "{path} by {who:?}");
        }
    }
    world.stop().await;
}

/// Negative controls: the checks above find what they are there to find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_find_what_is_wrong() {
    let (routes, rows) = (http::routes(), rows());
    let named = |route: &Route| format!("{} {}", route.method, route.path);
    for (at, route) in routes.iter().enumerate() {
        let without: Vec<_> =
            rows.iter().filter(|row| row.route != named(route)).cloned().collect();
        let expected = format!("{} has no row of expectations", named(route));
        assert!(gaps(&routes, &without).contains(&expected), "{expected}");
        let others = [&routes[..at], &routes[at + 1..]].concat();
        let expected = format!("{} has a row and is no route", named(route));
        assert!(gaps(&others, &rows).contains(&expected), "{expected}");
        let mut changed = routes.clone();
        changed[at].access = match route.access {
            Access::Session => Access::Open,
            Access::Open | Access::Capability | Access::Loopback => Access::Session,
        };
        assert!(!gaps(&changed, &rows).is_empty(), "{} for others", named(route));
    }
    let twice: Vec<_> = routes.iter().chain(&routes[..1]).cloned().collect();
    assert!(!gaps(&twice, &rows).is_empty());

    let (world, mut kept) = (World::start(&[]).await, Kept::default());
    let right = rows.iter().find(|row| row.route == "GET /zstack/v1/longjobs/{uuid}").unwrap();
    assert_eq!(differences(&world, &mut kept, right).await, Vec::<String>::new());
    let mut kinds = BTreeSet::new();
    for who in Who::ALL {
        let mut wrong = right.clone();
        let told = match who {
            Who::Nobody => &mut wrong.refusals[0],
            Who::Scheme => &mut wrong.refusals[1],
            Who::Wrong => &mut wrong.refusals[2],
            Who::Expired => &mut wrong.refusals[3],
            Who::WrongKey => &mut wrong.refusals[4],
            Who::Late => &mut wrong.refusals[5],
            Who::Other => &mut wrong.other,
            Who::Own | Who::Key => &mut wrong.own,
            Who::Admin => &mut wrong.admin,
        };
        *told = "503 SYS.1003: something else";
        let found = differences(&world, &mut kept, &wrong).await;
        assert!(found.iter().any(|words| words.contains(&format!("by {who:?}:"))), "{found:?}");
        kinds.extend(found);
    }
    assert_eq!(kinds.len(), Who::ALL.len());
    // Renewing shows that a session exists, as its row says.
    let shows = rows.iter().find(|row| row.route.ends_with("/renew")).unwrap();
    assert!(shows_existence(&world, &mut kept, shows).await.is_some());
    world.stop().await;
}
