"""The tables of a queue's SQLite file, and the migrations from older files.

Bodies are in a table of their own: a change of a lease rewrites the row, which is small this way.
The message counts are columns of the groups, so that a receive or a delete changes one row for
both. The virtual times have no index: each receive and delete would rewrite it, which costs more
than scanning all groups as long as there are fewer than some hundred.

No statement contains a semicolon.
"""

from iraas.core.fair_shares import FIRST_COST_S

SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    due REAL,        -- NULL while visible, else when its lease or its delay ends
    claim INTEGER,   -- the number of its latest receive
    receive_count INTEGER NOT NULL DEFAULT 0,
    received REAL    -- when its lease began
);
CREATE INDEX visible ON messages (group_id) WHERE due IS NULL;
CREATE INDEX hidden ON messages (due, receive_count) WHERE due IS NOT NULL;
CREATE TABLE contents (id INTEGER PRIMARY KEY, body TEXT NOT NULL, note TEXT NOT NULL);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settled_s REAL NOT NULL,   -- its virtual time without what is in flight
    cost_s REAL NOT NULL,      -- the moving average of its messages' costs
    visible INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0
)
"""

_FROM_1 = f"""
ALTER TABLE messages RENAME TO messages_1;
ALTER TABLE contents RENAME TO contents_1;
DROP INDEX visible;
DROP INDEX hidden;
DROP TABLE groups;
DROP TABLE totals;
{SCHEMA};
INSERT INTO groups (name, settled_s, cost_s, visible, leased, delayed)
    SELECT group_name, 0.0, {FIRST_COST_S}, sum(due IS NULL),
        sum(due IS NOT NULL AND receive_count > 0), sum(due IS NOT NULL AND receive_count = 0)
    FROM messages_1 JOIN contents_1 USING (id) GROUP BY group_name;
INSERT INTO messages (id, group_id, due, claim, receive_count)
    SELECT messages_1.id, groups.id, due, claim, receive_count
    FROM messages_1 JOIN contents_1 USING (id) JOIN groups ON name = group_name;
INSERT INTO contents SELECT id, body, note FROM contents_1;
DROP TABLE messages_1;
DROP TABLE contents_1
"""  # noqa: S608 - a number of ours  # nosec B608

MIGRATIONS = (_FROM_1,)
"""Statements that upgrade the tables of each version to the next. Version 1 shared by count."""
