-- clock: what time it is, and how its long numbers are written.
-- clock: server
-- include server_time
local micros = time[1] * 1000000 + time[2]
local function digits(number) return string.format('%.0f', number) end
