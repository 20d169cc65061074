import flask

handler = flask.f
