-- Run once by the image of PostgreSQL when its volume is empty: one database per service.
CREATE DATABASE portal_identity;
CREATE DATABASE portal_billing;
CREATE DATABASE portal_notifications;
CREATE DATABASE portal_todos;
CREATE DATABASE portal_gateway;
