module.exports = {
  runtime: "node",
  name: process.env.NAME,
};
