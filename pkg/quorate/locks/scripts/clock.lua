-- clock: what time it is, and how its long numbers are written.
-- clock: server
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = (micros - micros % 1000) / 1000
local function digits(number) return string.format('%.0f', number) end
