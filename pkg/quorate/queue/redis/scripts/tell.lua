-- Send word to who waits for these tasks to be over.
local function tell(base, waiting, ids)
  if #ids == 0 or tonumber(waiting or 0) <= 0 then
    return
  end
  local told = 0
  for index, channels in ipairs(redis.call('HMGET', base .. 'wait', unpack(ids))) do
    if channels then
      for channel in string.gmatch(channels, '[^\n]+') do
        redis.call('PUBLISH', channel, 'd' .. ids[index])
      end
      redis.call('HDEL', base .. 'wait', ids[index])
      told = told + 1
    end
  end
  if told > 0 then
    redis.call('HINCRBY', base .. 'cfg', 'waiting', -told)
  end
end
