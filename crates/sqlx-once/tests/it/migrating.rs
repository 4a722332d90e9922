use std::sync::Arc;

use futures_util::future::join_all;
use sqlx_once::{POSTGRES_MIGRATION, SQLITE_MIGRATION, Series, migrate};
use tokio::sync::Barrier;

both! {
    async fn many_processes_can_migrate_at_a_time_and_again(db: Db) {
        let db = Arc::new(db);
        let barrier = Arc::new(Barrier::new(8));
        let tasks = (0..8).map(|_| {
            let (db, barrier) = (Arc::clone(&db), Arc::clone(&barrier));
            tokio::spawn(async move {
                let mut connection = db.pool.acquire().await.unwrap();
                barrier.wait().await;
                migrate(&mut *connection).await.unwrap();
                migrate(&mut *connection).await.unwrap();
            })
        });
        for done in join_all(tasks).await {
            done.unwrap();
        }
        assert_eq!(db.count("sqlx_once_counters").await, 0);
    }

    async fn the_printed_sql_makes_the_same_and_can_be_run_again(db: Db) {
        let sql = if db.is_postgres { POSTGRES_MIGRATION } else { SQLITE_MIGRATION };
        db.sql(sql).await;
        db.sql(sql).await;
        migrate(&db.pool).await.unwrap();
        let mut transaction = db.begin().await;
        let series = Series::new("a", "").unwrap();
        assert_eq!(series.next_gapless(&mut *transaction).await.unwrap(), 1);
    }
}
