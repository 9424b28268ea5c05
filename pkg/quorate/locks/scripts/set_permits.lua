-- set_permits: how many permits a semaphore has from now on, for everybody.
-- Who holds more than that keeps it until it gives it back.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 limit
-- returns how many are in use
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
-- include permits
local key = holds(ARGV[1])
redis.call('HSET', key, 'n', ARGV[2])
redis.call('PERSIST', key)
take_back_from_the_dead(ARGV[1])
hand_on(ARGV[1])
return tonumber(redis.call('HGET', key, 'w') or '0')
