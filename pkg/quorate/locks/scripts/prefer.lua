-- prefer: let a candidate be the next in line for an election.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 label of the candidate
-- returns 1 if it stands in line, else 0
-- clock: server
-- include keys
-- include granting
-- include room
local line = writers(ARGV[1])
for _, id in ipairs(redis.call('ZRANGE', line, 0, -1)) do
  local record = redis.call('HGET', waits, id)
  local is = record and fields(record)
  if is and is[7] == ARGV[2] and is_alive(is[5]) then
    local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', line, digits(tonumber(first) - 1), id)
    return 1
  end
end
return 0
