-- give_way: leave the line to break a deadlock; nothing happens once it is granted.
-- Of several that decide the same, one finds the place.
-- KEYS  1 sessions        ARGV  1 name, 2 id
-- returns 1 if it was waiting, else 0
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
if redis.call('HEXISTS', waits, ARGV[2]) == 0 then
  return 0
end
end_claim(ARGV[1], ARGV[2])
return 1
