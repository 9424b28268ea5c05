-- grace: whether claims may have been lost a moment ago. Needs `granting`.
-- clock: server
-- Where somebody is strict, T:l:e says which server granted last (`run`), until when it
-- grants nothing (`until`), and for how long another one would not (`ttl`, in ms). A
-- server that finds another's name there has taken over, or was started again: who
-- holds something may tell it so (see reassert) before it grants anything.
-- Returns the end of the grace in server ms, or false.
local grace_known, grace_ends = false, false
local function in_grace()
  if grace_known then
    return grace_ends
  end
  grace_known = true
  local is = redis.call('HMGET', base .. 'e', 'run', 'until', 'ttl')
  if is[1] then
    local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
    local ends = tonumber(is[2])
    if is[1] ~= run then
      ends = now + tonumber(is[3])
      redis.call('HSET', base .. 'e', 'run', run, 'until', digits(ends))
    end
    grace_ends = ends > now and ends
  end
  return grace_ends
end
