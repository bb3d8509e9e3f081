"""The tables of a queue's SQLite file.

Bodies lie in a table of their own: changing a lease rewrites a row, and rows are small this way.
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    rank INTEGER NOT NULL,
    due REAL,        -- NULL while visible, else when its lease or its delay ends
    claim INTEGER,   -- the number of its latest receive
    receive_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS visible ON messages (rank) WHERE due IS NULL;
CREATE INDEX IF NOT EXISTS hidden ON messages (due, receive_count) WHERE due IS NOT NULL;
CREATE TABLE IF NOT EXISTS contents (
    id INTEGER PRIMARY KEY, body TEXT NOT NULL, group_name TEXT NOT NULL, note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, last_rank INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS group_ranks ON groups (last_rank);
CREATE TABLE IF NOT EXISTS totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    visible INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    virtual_time INTEGER NOT NULL DEFAULT 0
);
INSERT OR IGNORE INTO totals (id) VALUES (1);
"""
