#!lua flags=allow-oom
-- bury: remove the tombstone of a dead session that no room has claims of.
-- idempotent
-- KEYS  1 sessions, 2… the rooms' sets of sessions with claims      ARGV  1 session
-- returns 1 | 0 when it lives, or a room still has claims of it
-- clock: server
-- include server_time
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) > now then
  return 0
end
for index = 2, #KEYS do
  if redis.call('SISMEMBER', KEYS[index], ARGV[1]) == 1 then
    return 0
  end
end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
