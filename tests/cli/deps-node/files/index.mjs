import express from "express";
import fs from "node:fs";

export const handler = () => [express, fs];
