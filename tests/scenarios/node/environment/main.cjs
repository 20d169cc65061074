const extra = require("extramod");

exports.handler = () => ({ hour: new Date(1700000000000).getHours(), extra });
