import { describeGradients } from '#test/support/describe-gradients.ts';
import { reduceCases } from './cases/reduce.ts';

describeGradients('reduce', reduceCases);
