module.exports = "from extra";
