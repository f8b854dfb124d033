//! The engine on the real store, with agents that live in memory: scripts, crashes at every step,
//! several workers, and a seeded simulation.

mod agent;
mod backups;
mod chance;
mod check;
mod crashes;
mod ground;
mod keeping;
mod moves;
mod people;
mod rest;
mod scripts;
mod simulation;
mod stage;
mod workers;
