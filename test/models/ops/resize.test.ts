import { describeGradients } from '#test/support/describe-gradients.ts';
import { resizeCases } from './cases/resize.ts';

describeGradients('resize', resizeCases);
