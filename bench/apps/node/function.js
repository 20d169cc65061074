// A Cloud Function.
exports.hello = (request, response) => {
  response.json({ hello: "world" });
};
