// A Worker.
export default {
  fetch() {
    return Response.json({ hello: "world" });
  },
};
