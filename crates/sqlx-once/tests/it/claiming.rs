use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::Any;
use sqlx_once::{Access, Error, ErrorKind, RowClaim, claim_row};
use tokio::sync::Barrier;

use crate::support::{Db, run};

const TABLE: &str = "
    CREATE TABLE invites (token TEXT PRIMARY KEY, used_by TEXT, expires BIGINT NOT NULL);
    INSERT INTO invites VALUES ('fresh', NULL, 2), ('old', NULL, 1), ('used', 'eve', 2)";

type Why = (Option<String>, i64);

async fn redeem(
    connection: impl Access<Database = Any>,
    token: &str,
    who: &str,
) -> Result<RowClaim<(String,), Why>, Error> {
    let update = "UPDATE invites SET used_by = $1
        WHERE token = $2 AND used_by IS NULL AND expires > 1 RETURNING token";
    let update = sqlx::query_as(update).bind(who).bind(token);
    let why = sqlx::query_as("SELECT used_by, expires FROM invites WHERE token = $1").bind(token);
    claim_row(connection, update, why).await
}

both! {
    async fn of_many_claims_one_wins_and_the_losers_learn_who(db: Db) {
        db.sql(TABLE).await;
        let db = Arc::new(db);
        let barrier = Arc::new(Barrier::new(20));
        let tasks = (0..20).map(|task| {
            let (db, barrier) = (Arc::clone(&db), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let mut transaction = db.begin().await;
                let who = task.to_string();
                let claim = redeem(&mut transaction, "fresh", &who).await.unwrap();
                transaction.commit().await.unwrap();
                (who, claim)
            })
        });
        let claims: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let is_won = |claim: &RowClaim<_, _>| matches!(claim, RowClaim::Won(_));
        let winners: Vec<_> = claims.iter().filter(|(_, claim)| is_won(claim)).collect();
        assert_eq!(winners.len(), 1);
        let lost = RowClaim::Lost(Some((Some(winners[0].0.clone()), 2)));
        let losers = claims.iter().filter(|(_, claim)| !is_won(claim));
        assert!(losers.clone().all(|(_, claim)| *claim == lost));
        assert_eq!(losers.count(), 19);
    }

    async fn a_loser_can_tell_unknown_from_expired_and_used(db: Db) {
        db.sql(TABLE).await;
        let lost = async |token| match redeem(&db.pool, token, "bob").await.unwrap() {
            RowClaim::Won(_) => panic!("{token} was let through"),
            RowClaim::Lost(why) => why,
        };
        assert_eq!(lost("unknown").await, None);
        assert_eq!(lost("old").await, Some((None, 1)));
        assert_eq!(lost("used").await, Some((Some("eve".to_owned()), 2)));
    }

    async fn a_claim_that_is_rolled_back_leaves_the_row_to_the_next(db: Db) {
        db.sql(TABLE).await;
        let mut transaction = db.begin().await;
        let claim = redeem(&mut transaction, "fresh", "alice").await.unwrap();
        assert!(matches!(claim, RowClaim::Won(_)));
        transaction.rollback().await.unwrap();
        let claim = redeem(&db.pool, "fresh", "bob").await.unwrap();
        assert!(matches!(claim, RowClaim::Won(_)));
    }

    async fn a_guard_that_lets_several_rows_through_is_an_error(db: Db) {
        db.sql(TABLE).await;
        let mut transaction = db.begin().await;
        let claim: Result<RowClaim<(String,), (String,)>, _> = claim_row(
            &mut transaction,
            sqlx::query_as("UPDATE invites SET used_by = 'eve' RETURNING token"),
            sqlx::query_as("SELECT token FROM invites"),
        )
        .await;
        assert_eq!(claim.unwrap_err().kind(), ErrorKind::SeveralRows);
    }
}

#[test]
fn above_read_committed_a_loser_is_told_to_run_all_of_it_again() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut late = db.pool.begin_with(begin).await.unwrap();
        let look = sqlx::query("SELECT count(*) FROM invites");
        look.execute(&mut *late).await.unwrap();
        let _won = redeem(&db.pool, "fresh", "alice").await.unwrap();
        let error = redeem(&mut late, "fresh", "bob").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
    });
}
