-- keys: where things lie. Every key lies under the tag of KEYS[1].
-- KEYS  1 sessions (T:S)
--
--   T:l:h:<name>     HASH  the lock: f last token of the last block granted, m mode
--                          (x one writer, s readers; missing while it is free),
--                          u the reader that waits to become the writer, if any,
--                          <id> → one holder each
--                          A semaphore: see permits.
--   T:l:q:<name>     ZSET  waiting writers by arrival      T:l:r:<name>  waiting readers
--   T:l:w            HASH  <id> → one waiter each, of all locks of the tag
--   T:l:i:<session>  SET   the claims of a session, held or awaited: "<id>\n<name>"
--   T:l:s            SET   sessions that may have claims
--   T:l:g            ZSET  ids that were given up before they arrived → when
--   T:l:e            HASH  where somebody is strict: which server granted last
--                          (see grace)
--   T:l:n            HASH  <session> → its notes of who waits and holds (see notes.py)
--   T:l:to:<session>       the channel of a session
--   T:l:on:<name>          the channel of an election, a latch or a barrier
--   T:l:d:<name>     SET   whom a latch has counted       T:l:b:<name>  see barrier
--
-- A holder is token, hard end or 0, since, session, owner, label; a waiter is name,
-- mode, hard ms or 0, since, session, owner, label: one field a line. Names, labels and
-- owners have no line breaks.
local base = string.sub(KEYS[1], 1, -2) .. 'l:'
local waits, given_up, index = base .. 'w', base .. 'g', base .. 's'

local function holds(name) return base .. 'h:' .. name end
local function writers(name) return base .. 'q:' .. name end
local function readers(name) return base .. 'r:' .. name end
local function claims(session) return base .. 'i:' .. session end
local function lines(...) return table.concat({...}, '\n') end
