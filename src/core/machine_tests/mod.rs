//! Tests of the machine: scripted ones that read as stories, and random histories under which the state must stay
//! consistent and equal to its replay.

mod acts;
mod after;
mod broken;
mod drains;
mod explains;
mod gangs;
mod histories;
mod leases;
mod modifies;
mod notices;
mod open_jobs;
mod order;
mod overviews;
mod pages;
mod placing;
mod recalls;
mod reference;
mod restarts;
mod retries;
mod scene;
mod stories;
mod whys;
