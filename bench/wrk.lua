-- Quantiles that wrk does not print by itself, and every answer that was none.
done = function(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format("FIGURES %f %f %f %f %f %d\n",
      summary.requests / (summary.duration / 1e6),
      latency:percentile(50), latency:percentile(95), latency:percentile(99),
      latency:percentile(99.9),
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
