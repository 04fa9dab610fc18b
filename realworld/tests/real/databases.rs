//! `redis` and `mysql`, which wait in the task itself, and `postgres`, which must be offloaded.

use std::time::Duration;

use minihuey_realworld::{MariaDb, Postgres, Redis, or_skip};
use mysql::prelude::Queryable;
use redis::Commands;

use crate::support::{patch, together};

#[test]
fn two_hundred_tasks_wait_for_redis_at_once() {
    patch();
    let Some(server) = or_skip(Redis::start()) else { return };
    let client = server.client();
    let run = together(200, move |number| {
        let mut connection = client.get_connection()?;
        connection.blpop::<_, Option<(String, String)>>(format!("empty-{number}"), 1.0)
    });
    run.assert_together(200 * Duration::from_secs(1));
    assert_eq!(run.values, vec![None; 200]);
}

#[test]
fn a_task_that_waits_for_redis_gets_what_another_task_sends_it() {
    patch();
    let Some(server) = or_skip(Redis::start()) else { return };
    let client = server.client();
    // The even ones wait for what the odd ones send.
    let run = together(100, move |number| {
        let mut connection = client.get_connection()?;
        let list = format!("list-{}", number / 2);
        if number % 2 == 0 {
            return connection.blpop::<_, Option<(String, usize)>>(list, 60.0);
        }
        connection.rpush(list, number).map(|()| None)
    });
    for (number, value) in run.values.into_iter().enumerate() {
        let sent = (number % 2 == 0).then(|| (format!("list-{}", number / 2), number + 1));
        assert_eq!(value, sent);
    }
}

#[test]
fn a_hundred_tasks_sleep_in_mariadb_at_once() {
    patch();
    let Some(server) = or_skip(MariaDb::start()) else { return };
    let options = server.options();
    let run = together(100, move |number| {
        let mut connection = mysql::Conn::new(options.clone())?;
        connection.exec_first("SELECT SLEEP(0.2), ? * 2", (number,))
    });
    run.assert_together(100 * Duration::from_millis(200));
    let all: Vec<_> = (0..100).map(|number| Some((0, number * 2))).collect();
    assert_eq!(run.values, all);
}

#[test]
fn a_hundred_tasks_offload_queries_to_postgres_at_once() {
    patch();
    let Some(server) = or_skip(Postgres::start()) else { return };
    let config = server.config();
    let run = together(100, move |number| {
        let number = i32::try_from(number).unwrap();
        minihuey::offload(|| {
            let mut client = config.connect(postgres::NoTls)?;
            let row = client.query_one("SELECT $1 * 2, pg_sleep(0.2)", &[&number])?;
            row.try_get::<_, i32>(0)
        })
    });
    run.assert_together(100 * Duration::from_millis(200));
    assert_eq!(run.values, (0..100).map(|number| number * 2).collect::<Vec<_>>());
}
