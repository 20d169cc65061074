const { f } = require("lib/tools");

exports.handler = f;
