-- Until when a task rests whose service is down: never reached, and the same for all tasks
-- of one service, so that they are found again. The SET `held` has the services.
local function held_until(service)
  return 9005000000000000 + tonumber(string.sub(redis.sha1hex(service), 1, 8), 16)
end
