exports.f = () => 1;
