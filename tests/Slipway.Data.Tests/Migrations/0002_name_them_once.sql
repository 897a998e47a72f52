create unique index boat_name on boat (name);
comment on table boat is 'semicolons; in text; are no statement ends';
