use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use sqlx_once::{ErrorKind, Series, migrate};
use tokio::sync::Barrier;

use crate::support::{Db, run};

fn series() -> Series {
    Series::new("ASM", "2025").unwrap()
}

/// Runs 100 transactions at a time that take a number; those that `fails` names are rolled back.
/// Returns the numbers that were committed.
async fn hundred(db: &Arc<Db>, is_gapless: bool, fails: fn(usize) -> bool) -> Vec<i64> {
    migrate(&db.pool).await.unwrap();
    let barrier = Arc::new(Barrier::new(100));
    let tasks = (0..100).map(|task| {
        let (db, barrier) = (Arc::clone(db), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            let mut transaction = db.begin().await;
            let number = if is_gapless {
                series().next_gapless(&mut *transaction).await
            } else {
                series().next_with_gaps(&mut transaction).await
            };
            if fails(task) {
                transaction.rollback().await.unwrap();
                return None;
            }
            transaction.commit().await.unwrap();
            Some(number.unwrap())
        })
    });
    let numbers = join_all(tasks).await;
    numbers.into_iter().filter_map(Result::unwrap).collect()
}

both! {
    async fn a_hundred_at_a_time_take_a_hundred_numbers_without_a_gap(db: Db) {
        let numbers = hundred(&Arc::new(db), true, |_| false).await;
        assert_eq!(numbers.len(), 100);
        assert_eq!(BTreeSet::from_iter(numbers), BTreeSet::from_iter(1..=100));
    }

    async fn what_is_rolled_back_leaves_no_gap(db: Db) {
        let numbers = hundred(&Arc::new(db), true, |task| task % 3 == 0).await;
        assert_eq!(numbers.len(), 66);
        assert_eq!(BTreeSet::from_iter(numbers), BTreeSet::from_iter(1..=66));
    }

    async fn a_hundred_at_a_time_take_different_numbers_with_gaps(db: Db) {
        let numbers = hundred(&Arc::new(db), false, |task| task % 3 == 1).await;
        assert_eq!(numbers.len(), 67);
        assert_eq!(BTreeSet::from_iter(numbers).len(), 67);
    }

    async fn each_series_and_period_counts_by_itself(db: Db) {
        migrate(&db.pool).await.unwrap();
        let mut transaction = db.begin().await;
        for (name, period) in [("a", "b_c"), ("a_b", "c"), ("a", ""), ("A", "")] {
            let series = Series::new(name, period).unwrap();
            for number in 1..=2 {
                assert_eq!(series.next_gapless(&mut *transaction).await.unwrap(), number);
                assert_eq!(series.next_with_gaps(&mut transaction).await.unwrap(), number);
            }
        }
    }

    async fn a_savepoint_gives_its_number_back(db: Db) {
        migrate(&db.pool).await.unwrap();
        let mut transaction = db.begin().await;
        assert_eq!(series().next_gapless(&mut *transaction).await.unwrap(), 1);
        let mut savepoint = sqlx::Acquire::begin(&mut transaction).await.unwrap();
        assert_eq!(series().next_gapless(&mut *savepoint).await.unwrap(), 2);
        savepoint.rollback().await.unwrap();
        assert_eq!(series().next_gapless(&mut *transaction).await.unwrap(), 2);
        transaction.commit().await.unwrap();
    }

    async fn a_gapless_number_is_refused_outside_of_a_transaction(db: Db) {
        migrate(&db.pool).await.unwrap();
        let mut connection = db.pool.acquire().await.unwrap();
        let error = series().next_gapless(&mut *connection).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoTransaction);
        assert_eq!(db.count("sqlx_once_counters").await, 0);
    }

    async fn a_number_that_a_pool_took_is_used_up(db: Db) {
        migrate(&db.pool).await.unwrap();
        assert_eq!(series().next_with_gaps(&db.pool).await.unwrap(), 1);
        let mut transaction = db.begin().await;
        assert_eq!(series().next_with_gaps(&mut transaction).await.unwrap(), 2);
    }
}

#[test]
fn a_sequence_waits_for_nobody_and_leaves_a_gap() {
    run(async {
        let db = Db::postgres().await;
        assert_eq!(series().next_with_gaps(&db.pool).await.unwrap(), 1);
        let mut open = db.begin().await;
        assert_eq!(series().next_with_gaps(&mut open).await.unwrap(), 2);
        assert_eq!(series().next_with_gaps(&db.pool).await.unwrap(), 3);
        open.rollback().await.unwrap();
        assert_eq!(series().next_with_gaps(&db.pool).await.unwrap(), 4);
    });
}

#[test]
fn a_sequence_is_made_once_by_many_and_again_after_a_rollback() {
    run(async {
        let db = Arc::new(Db::postgres().await);
        let mut maker = db.begin().await;
        assert_eq!(series().next_with_gaps(&mut maker).await.unwrap(), 1);
        let others: Vec<_> = (0..4)
            .map(|_| {
                let db = Arc::clone(&db);
                tokio::spawn(async move { series().next_with_gaps(&db.pool).await.unwrap() })
            })
            .collect();
        db.waiters(4).await;
        maker.rollback().await.unwrap();
        let numbers = join_all(others).await.into_iter().map(Result::unwrap);
        assert_eq!(BTreeSet::from_iter(numbers), BTreeSet::from_iter(1..=4));
    });
}

#[test]
fn a_gapless_number_waits_for_the_one_before_it() {
    run(async {
        let db = Arc::new(Db::postgres().await);
        migrate(&db.pool).await.unwrap();
        let mut first = db.begin().await;
        assert_eq!(series().next_gapless(&mut *first).await.unwrap(), 1);
        let second = tokio::spawn({
            let db = Arc::clone(&db);
            async move {
                let mut transaction = db.begin().await;
                let number = series().next_gapless(&mut *transaction).await.unwrap();
                transaction.commit().await.unwrap();
                number
            }
        });
        db.waiters(1).await;
        let other = Series::new("ASM", "2026").unwrap();
        let mut third = db.begin().await;
        assert_eq!(other.next_gapless(&mut *third).await.unwrap(), 1);
        first.rollback().await.unwrap();
        assert_eq!(second.await.unwrap(), 1);
    });
}

#[test]
fn above_read_committed_whoever_comes_late_is_told_to_run_all_of_it_again() {
    run(async {
        let db = Db::postgres().await;
        migrate(&db.pool).await.unwrap();
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut late = db.pool.begin_with(begin).await.unwrap();
        let look = sqlx::query("SELECT count(*) FROM sqlx_once_counters");
        look.execute(&mut *late).await.unwrap();
        let mut first = db.begin().await;
        assert_eq!(series().next_gapless(&mut *first).await.unwrap(), 1);
        first.commit().await.unwrap();
        let error = series().next_gapless(&mut *late).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
    });
}
