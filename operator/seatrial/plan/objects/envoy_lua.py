"""
What Lua does in Envoy: reads which faults are on, writes down who has met one, changes responses.

The first filter runs for each request. It names the faults that are on for it in a header, by which
Envoy then finds its route; the second runs on the routes of faults only.
"""

from __future__ import annotations

from seatrial.api import names
from seatrial.api.control import PROBE_HOST
from seatrial.plan.objects.envoy_terms import Places
from seatrial.plan.objects.manifest import Json

MET = "met"
METADATA = "seatrial"

# The deadline is kept here too, by the wall clock: nothing that dies can make a fault outlive it.
_SWITCHED_ON = """
local function switched_on(handle)
  local on, file = {}, io.open("@switches", "r")
  if file ~= nil then
    local now = tonumber(handle:timestampString(EnvoyTimestampResolution.MICROSECOND))
    for line in file:lines() do
      local fault, share, seed, deadline = line:match("^(%S+) (%S+) (%S+) (%S+)$")
      if fault ~= nil and now < tonumber(deadline) then
        on[fault] = {share = tonumber(share), seed = tonumber(seed)}
      end
    end
    file:close()
  end
  return on
end
"""

_IS_PROBE = """
local function is_probe(headers)
  return (headers:get(":authority") or ""):match("^[^:]*") == "@probe"
end
"""

# Each fault draws for itself, from its own seed. Source of the numbers: Park and Miller, "Random
# number generators: good ones are hard to find", 1988, the minimal standard.
_SWITCH = """
local draws = {}

local function draw(fault, seed)
  local last = draws[fault]
  if last == nil or last.seed ~= seed then
    last = {seed = seed, number = seed}
    draws[fault] = last
    for _ = 1, @listener do  -- another beginning for each listener
      last.number = last.number * 16807 % @draws
    end
  end
  last.number = last.number * 16807 % @draws
  return last.number / @draws
end

function envoy_on_request(handle)
  local headers, met = handle:headers(), ""
  for fault, on in pairs(switched_on(handle)) do
    if on.share >= 1 or is_probe(headers) or draw(fault, on.seed) < on.share then
      met = met .. "@before" .. fault .. "@after"
    end
  end
  if met ~= "" then
    headers:add("@header", met)
    handle:clearRouteCache()
  end
end
"""

# A line is written at once and whole, so that a request counts while it is still held up. Envoy's
# own abort knows gRPC only, and answers gRPC-Web with 200 and a text.
_MET = """
function envoy_on_request(handle)
  local headers, at = handle:headers(), handle:timestampString()
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("@metadata", "at", at)
  if headers:get(":method") == "HEAD" then
    metadata:set("@metadata", "head", true)
  end
  local log = not is_probe(headers) and io.open("@met", "a")
  if log then
    local from = handle:streamInfo():downstreamDirectRemoteAddress()
    log:write('{"fault":"', handle:filterContext():get("fault"), '","came":true,"at":"', at,
      '","from":"', from, '"}\\n')
    log:close()
  end
  local status, kind = handle:filterContext():get("grpcStatus"), headers:get("content-type") or ""
  if status and kind:match("^application/grpc%-web") then
    local trailers = "grpc-status:" .. status .. "\\r\\n"
    local body = "\\128\\0\\0\\0" .. string.char(#trailers) .. trailers
    if kind:match("^application/grpc%-web%-text") then
      body = handle:base64Escape(body)
    end
    handle:respond({[":status"] = "200", ["content-type"] = kind}, body)
  end
end
"""

# NB: nothing in it may wait (no httpCall): what arrives meanwhile would pass unchanged, and a body
# longer than Envoy's buffer would become an error 500. A response that comes after the end of its
# fault is not touched.
_BODY = """
local function has_no_body(handle, status)
  local ours = handle:streamInfo():dynamicMetadata():get("@metadata")
  return (ours ~= nil and ours["head"]) or status == "101" or status == "204" or status == "304"
end

local function replace(handle, text)
  local headers = handle:headers()
  local length = tonumber(headers:get("content-length") or "")
  headers:remove("content-encoding")
  if length ~= nil then
    headers:replace("content-length", tostring(#text))
  end
  if length == 0 then
    handle:body(true):setBytes(text)
    return
  end
  local came = false
  for chunk in handle:bodyChunks() do
    chunk:setBytes(text)
    text, came = "", true
  end
  if not came and not handle:trailers() then
    handle:body(true):setBytes(text)
  end
end

local function truncate(handle, left)
  local length = tonumber(handle:headers():get("content-length") or "")
  if length ~= nil and length <= left then
    return
  end
  if length ~= nil and handle:streamInfo():protocol() ~= "HTTP/2" then
    -- HTTP/1.1 has no other way to say that the rest will not come.
    handle:streamInfo():drainConnectionUponCompletion()
  end
  for chunk in handle:bodyChunks() do
    local size = chunk:length()
    if size > left then
      chunk:setBytes(chunk:getBytes(0, left))
    end
    left = math.max(0, left - size)
  end
end

function envoy_on_response(handle)
  local fault = handle:filterContext()
  local kind, text, left = fault:get("contentType"), fault:get("replace"), fault:get("truncate")
  if not (kind or text or left) or not switched_on(handle)[fault:get("fault")] then
    return
  end
  if kind then
    handle:headers():replace("content-type", kind)
  elseif has_no_body(handle, handle:headers():get(":status")) then
    return
  elseif text then
    replace(handle, text)
  else
    truncate(handle, tonumber(left))
  end
end
"""


def entry(fault: str) -> str:
    """Give what the header has of a fault that is on for a request; no name is part of another."""
    return f",{fault},"


def switch(places: Places, listener: int) -> Json:
    """Give the source of the first filter, for the listener of this number."""
    return _source(_SWITCHED_ON + _IS_PROBE + _SWITCH, places, listener)


def met(places: Places) -> Json:
    """Give the source of the second filter."""
    return _source(_SWITCHED_ON + _IS_PROBE + _MET + _BODY, places)


def _source(text: str, places: Places, listener: int = 0) -> Json:
    before, after = entry("@").split("@")
    for name, value in (
        ("@switches", f"{places.directory}/{names.ENVOY_SWITCHES}"),
        ("@metadata", METADATA),
        ("@met", f"{places.directory}/{names.ENVOY_MET}"),
        ("@probe", PROBE_HOST),
        ("@header", names.ENVOY_HEADER),
        ("@before", before),
        ("@after", after),
        ("@listener", str(listener)),
        ("@draws", str(names.ENVOY_DRAWS)),
    ):
        text = text.replace(name, value)
    return {"inline_string": text}
