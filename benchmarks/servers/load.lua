-- The closed loop of load.py by wrk: wrk -s load.lua ... -- REQUESTS
-- Sends the requests of a file in turn, and prints one JSON object as its last line.

local requests, turn = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read("*n")
    if not size then break end
    file:read(1)
    requests[#requests + 1] = file:read(size)
  end
  file:close()
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local failed = summary.errors
  local bad = failed.status + failed.connect + failed.read + failed.write + failed.timeout
  io.write(string.format(
    '{"good": %d, "bad": %d, "seconds": %f, "p50": %f, "p99": %f}\n',
    summary.requests - failed.status, bad, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
