//! Everything that is in a fixture's tables.

use blackbox::Database;
use sqlx::{
    AssertSqlSafe, Connection, Row, SqliteConnection, postgres::PgRow, sqlite::SqliteConnectOptions,
};

/// Writes down every column of every table; bytes are in hexadecimal digits.
pub(crate) async fn of(database: &Database) -> String {
    let rows = match database {
        Database::Sqlite { .. } => sqlite(database).await,
        Database::Postgres { .. } => postgres(database).await,
        _ => panic!("only a database has tables"),
    };
    rows.join("\n").to_lowercase()
}

/// Tells whether these bytes are in a dump, in either form.
pub(crate) fn holds(dump: &str, bytes: &[u8]) -> bool {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    dump.contains(&digits) || dump.contains(&text)
}

async fn postgres(database: &Database) -> Vec<String> {
    let mut client = database.postgres().await;
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut client)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let sql = format!("SELECT t::text FROM {table} AS t");
        let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut client).await;
        rows.extend(
            found
                .unwrap()
                .iter()
                .map(|row: &PgRow| row.get::<String, _>(0)),
        );
    }
    rows
}

async fn sqlite(database: &Database) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(database.file());
    let mut client = SqliteConnection::connect_with(&options).await.unwrap();
    let columns = "SELECT m.name, group_concat('quote(' || c.name || ')', ' || '','' || ') \
                   FROM sqlite_master AS m, pragma_table_info(m.name) AS c \
                   WHERE m.type = 'table' GROUP BY m.name";
    let tables: Vec<(String, String)> = sqlx::query_as(columns)
        .fetch_all(&mut client)
        .await
        .unwrap();
    let mut rows = Vec::new();
    for (table, columns) in tables {
        let sql = format!("SELECT {columns} FROM {table}");
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut client);
        rows.extend(found.await.unwrap());
    }
    rows
}
