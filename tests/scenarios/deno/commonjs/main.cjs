const { join } = require("node:path");
exports.handler = (event) => ({ joined: join("a", event) });
