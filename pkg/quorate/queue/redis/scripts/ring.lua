-- Wake idle workers: one for every eight of `count` tasks. A bell is taken down when it
-- is rung; one that nobody hears any more is passed over.
local function ring(base, queue, count, urgent)
  local wanted = math.ceil(count / 8)
  for _, bell in ipairs(urgent and {'bell', 'bellh'} or {'bell'}) do
    while wanted > 0 do
      local channels = redis.call('SPOP', base .. bell, wanted)
      if #channels == 0 then
        break
      end
      for _, channel in ipairs(channels) do
        if redis.call('PUBLISH', channel, 'w' .. queue) > 0 then
          wanted = wanted - 1
        end
      end
    end
  end
end
