export const api = {
  items: {
    count: 3,
    get(event) {
      return this.count + event;
    },
  },
};
