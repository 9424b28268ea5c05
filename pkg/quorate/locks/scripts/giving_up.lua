-- giving_up: remember an id whose ask may still arrive. Needs `granting`.
-- clock: server
local function give_up(id)
  local echo_ms = 120000
  redis.call('ZADD', given_up, digits(now), id)
  redis.call('ZREMRANGEBYSCORE', given_up, '-inf', digits(now - echo_ms))
  redis.call('PEXPIRE', given_up, echo_ms)
end
