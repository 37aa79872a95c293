-- For wrk: POST requests, each with an id of its own. Arguments after "--": token, body, mark, prefix, new|same.
-- The mark in the body is replaced by the id. Ends with one line of JSON.

local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(args)
   local token, body, mark, prefix, mode = args[1], args[2], args[3], args[4], args[5]
   local first, last = body:find(mark, 1, true)
   head, tail = body:sub(1, first - 1), body:sub(last + 1)
   id, same = prefix, mode == "same"
   headers = { ["Content-Type"] = "application/json", ["Chan-Token"] = token }
   count = 0
end

function request()
   count = count + 1
   local this = same and id or string.format("%s-%d-%09d", id, number, count)
   return wrk.format("POST", nil, headers, head .. this .. tail)
end

function done(summary, latency, requests)
   local e = summary.errors
   local broken = e.connect + e.read + e.write + e.timeout
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
      summary.requests, summary.duration / 1e6, e.status + broken,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
