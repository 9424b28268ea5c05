-- Until when a task rests whose service is down: never reached, and the same for all tasks
-- of one service, so that they are found again. The SET `held` has the services.
local function held_until(service)
  local sum = 0
  for at = 1, #service do
    sum = (sum * 257 + string.byte(service, at)) % 4294967296
  end
  return 9005000000000000 + sum
end
