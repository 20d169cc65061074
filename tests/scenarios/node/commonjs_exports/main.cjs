const helper = require("./lib/helper");

exports.handler = (event) => helper.twice(event);
