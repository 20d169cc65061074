"use strict";
const aws = require("@aws-sdk/client-s3");

exports.handler = () => aws;
